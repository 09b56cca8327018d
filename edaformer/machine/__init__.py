"""What the machine is: its GPU, its Jetson, its TensorRT."""
