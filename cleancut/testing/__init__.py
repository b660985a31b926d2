"""Testing: fakes that behave, held to the ports' contract suites: etcd, store and log in memory."""
