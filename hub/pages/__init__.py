"""The frame that every dashboard page shares: navigation, states, lists, live fragments, overview and palette."""
