"""What every room needs and no room owns: errors, progress, files, devices, weights. Imports nothing of ours."""
