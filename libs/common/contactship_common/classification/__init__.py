"""What meetings are classified by: the categories a company configures, and the rules shared by gateway and worker."""
