"""What every service needs, and no shop noun."""
