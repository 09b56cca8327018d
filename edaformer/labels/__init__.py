"""What a label is: where it comes from, how it is upsampled, how several passes decide."""
