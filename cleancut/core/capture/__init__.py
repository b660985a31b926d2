"""Direct capture: files that a request leaves out, and the proof that they did not change."""
