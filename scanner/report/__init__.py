"""Faces of a Run: text, JSON, HTML, charts. Reads a Run, never the data."""
