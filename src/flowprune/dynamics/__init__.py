"""What is measured on any flow: energies and frequencies."""
