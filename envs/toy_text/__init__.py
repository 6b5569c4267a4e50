"""Gymnasium's toy environments as text: FrozenLake, Taxi, CliffWalking, Blackjack and any other with discrete actions.

Everything that is played is Gymnasium's own code; here it is put into words (github.com/Farama-Foundation/Gymnasium).
"""

ENVIRONMENT = "envs.toy_text.environment:ToyText"
