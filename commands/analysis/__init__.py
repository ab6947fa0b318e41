"""Commands about cohorts: kept, compared, and screened."""
