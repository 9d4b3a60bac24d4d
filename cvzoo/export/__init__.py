"""From a row with weights to a file that runs without cvzoo; docs/export.md shows it."""
