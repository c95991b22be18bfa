"""The parts of the label: what each shows, and what it cannot know."""

from typing import NamedTuple


class Module(NamedTuple):
    """A section of the page, with what its facts can and cannot tell."""

    title: str
    shows: str
    cannot: str


MODULES = {
    "glance": Module(
        "At a glance",
        "Size, classes, imbalance, the share of labels that are probably wrong, what was found by kind, and what "
        "to look at first.",
        "Whether the data are fit for your purpose. The error rate is an estimate from models that never saw a row "
        "they judge; its interval tells of the number of rows, not of what all models get wrong alike.",
    ),
    "findings": Module(
        "What is wrong",
        "Rows whose label, or whose content, is suspicious, worst first, each with what it looks like and why it "
        "was picked.",
        "Which label is true. A finding is a suspicion, ranked by score; someone who knows the data decides. An "
        "error that the models share is not found.",
    ),
    "data": Module(
        "Labels and classes",
        "How many rows each class has, labels that are missing, groups and splits, and what is wrong with whole "
        "classes, columns, groups and annotators.",
        "How often the classes occur in the world, and what was never collected.",
    ),
    "columns": Module(
        "Statistics of columns",
        "For every column its kind, what is missing, typical and extreme values, and how they spread. Missing "
        "values count in no other figure.",
        "What a value means, whether it was measured well, and whether a number is really a name: kinds are "
        "inferred, variables in about.yaml override them.",
    ),
    "associations": Module(
        "How columns hang together",
        "One number for each two columns, labels included: Pearson's r and Spearman's, Cramer's V, or the "
        "correlation ratio; which columns say almost the same, and which almost tell the label.",
        "What causes what, and what three columns say together. A good measurement may tell the label honestly; a "
        "leak does too.",
    ),
    "unusual": Module(
        "Unusual rows",
        "Rows that a small model of all columns together finds least likely, and the cells that make them so.",
        "Whether they are wrong: rare is not false. Values that hang together in ways that groups of independent "
        "columns cannot tell may be called unusual, and what is wrong often is not.",
    ),
    "reference": Module(
        "Beside trusted data",
        "How columns that come from outside data (a census, a second measurement) agree with the labels and the "
        "others.",
        "Whether the outside data are right, and whether what holds for groups holds for rows. They are shown to "
        "compare with, not as truth.",
    ),
    "metadata": Module(
        "Metadata",
        "Name, licence, version, domain, and how the file is to be recognised.",
        "Whether what people wrote is true or up to date. What nobody wrote is shown as not given.",
    ),
    "provenance": Module(
        "Provenance",
        "Where the data come from, who made and labelled them, and who keeps them.",
        "Whether the account is complete: nothing here is computed.",
    ),
    "variables": Module(
        "Variables",
        "What each column means, in the words of those who know.",
        "Whether the values of the column agree with its meaning.",
    ),
    "uses": Module(
        "Intended uses and alerts",
        "What the data are meant for, what they should not be used for, and what to watch for, the most severe first.",
        "Uses that nobody thought of. Computed alerts follow fixed rules, and know neither the purpose nor the "
        "cost of an error.",
    ),
    "models": Module(
        "How the models did",
        "How well models predict the labels of rows that they did not see, and whether their confidence is earned.",
        "How they would do on other data. Where given labels are the measure, agreement with them is not accuracy.",
    ),
    "experts": Module(
        "Which experts each task chose",
        "The weights that each task gives to the shared experts.",
        "Why it chose them: equal choices by other seeds are common.",
    ),
    "notes": Module(
        "How this was made",
        "What could not be looked for, what this page leaves out, and all settings.",
        "What happened to the data before labelwise read them.",
    ),
}
