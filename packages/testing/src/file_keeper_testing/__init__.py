"""The conformance suite, fault injection and request counting for file-keeper backends."""
