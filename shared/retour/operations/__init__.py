"""Operations: redrive, refold, sweep and retention, by the scheduler or by one command."""
