"""Theory: networks, adapters, their kernels, spectra and laws. Pure functions on arrays."""
