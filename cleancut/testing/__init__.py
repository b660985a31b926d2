"""Testing: fakes that behave. etcd, store and log pass the ports' contract suites; and an API."""
