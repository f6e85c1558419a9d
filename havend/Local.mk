# see HACKING
