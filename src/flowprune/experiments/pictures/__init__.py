"""The figures of the chapters, one module a chapter; each takes results and returns a figure."""
