"""What goes along with other people's software; nothing here is imported by the rest."""
