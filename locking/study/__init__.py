"""Which strategy wins on your database, and at which probability of a conflict does the other overtake it?"""
