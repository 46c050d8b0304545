"""What do recorded runs look like in a browser: collect the facts, write static pages, without any external request."""
