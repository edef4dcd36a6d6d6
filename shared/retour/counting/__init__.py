"""What a program's actions come to, counted every night and kept."""
