"""What a setting costs on a device: measured here, or modelled."""
