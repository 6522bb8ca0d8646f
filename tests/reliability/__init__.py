"""What happens to a storage whose service, network or process fails: the fault matrix, the soak, the kills."""
