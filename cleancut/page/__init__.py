"""Status page: HTML and SVG of what a cluster's API says, and the report of a store; pure."""
