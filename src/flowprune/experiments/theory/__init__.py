"""Statements of the theory, checked in float64 over random graphs of many families: one module a chapter."""
