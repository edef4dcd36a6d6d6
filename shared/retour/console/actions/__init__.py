"""What was sold and to whom it is credited: the list, one action's life, and the acts of people on one or many."""

from retour.console.actions import act_form, action_list, bulk, detail, record

__all__ = ["act_form", "action_list", "bulk", "detail", "record"]
