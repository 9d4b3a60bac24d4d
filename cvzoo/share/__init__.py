"""Models for others: a folder with weights, recipe, figures and card; the hub; mirrors of published weights."""
