"""What does an audit find in a small service?"""
