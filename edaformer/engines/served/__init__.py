"""What runs inside a server: frames and pictures of requests, labelled by our own runtime."""
