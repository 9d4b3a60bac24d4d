"""Exported files as models: what they say of themselves, and how they answer."""
