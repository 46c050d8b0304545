"""Where does a URL lead? Remotes as git and ssh read them."""
