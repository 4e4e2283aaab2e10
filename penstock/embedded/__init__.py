"""The servers an unset URL stands for, and the supervisor of all processes of a stack."""
