"""What something would come to: an act, a program document, new terms, a sample file. Nothing is written."""
