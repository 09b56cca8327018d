"""Pictures, video and cameras in; overlays, label maps and video out."""
