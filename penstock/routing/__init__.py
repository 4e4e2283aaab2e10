"""Which model answers: policies, confidence in an answer, and when the next model is asked."""
