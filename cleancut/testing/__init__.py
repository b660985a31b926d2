"""Testing: fakes that behave, in memory: etcd and a store, by their contracts, and the API."""
