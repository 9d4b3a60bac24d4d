"""What detectors that find key points in heat maps share: targets, the loss of the maps, and their peaks."""
