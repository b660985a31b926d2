"""Testing: fakes that behave, held to the ports' contract suites: etcd and a store in memory."""
