"""What turns a clean image into the one to be restored; one file a degradation."""
