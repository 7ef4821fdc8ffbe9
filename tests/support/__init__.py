"""What several files of tests share: clips, untrained checkpoints, servers, processes, golden vectors."""
