"""An artifact on pictures, video and cameras."""
