"""EG-XC: a graph functional on nuclei-centred features of the density, see `dixc.functionals.egxc.functional`."""
