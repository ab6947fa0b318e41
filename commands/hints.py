"""What to do about an error, in options of the command line: the library names its hint, and no option."""

from collections.abc import Mapping

from cohorts.errors import CohortsError, CohortsWarning

HINTS: Mapping[str, str] = {
    # Sources.
    "another_run_dir": "Name another --run-dir.",
    "room_or_run_dir": "Make room, or name another folder with --run-dir.",
    "max_bad_share": "Mend the table, or allow more with --max-bad-share.",
    "another_quarantine": "Name another with --quarantine.",
    "make_quarantine": "Make it, mount it, or name another with --quarantine.",
    "dates": "Say which with --dates day-first or --dates month-first.",
    "another_source": "Read this hospital with --source {source}.",
    "unit_patient": "Use --unit patient.",
    "mapping": "Write one as docs/tables.md says, and name it with --mapping.",
    "columns": "Map them, as in --columns id=encounter_id,text=note.",
    # Runs.
    "ingest_anew": "cohorts ingest, without --resume, writes everything again.",
    "name_run_dir": "Name the run folder with --run-dir.",
    "begin_anew": "Leave --resume out to begin this one.",
    "same_run_or_anew": "Give what the run before was given, or leave --resume out to load everything anew.",
    "another_run_dir_or_move": "Name another run folder with --run-dir, or move this one away.",
    "old_journal": "Use the cohorts that wrote it, or move it away and write the collection anew with --replace.",
    "mend_and_resume": "Mend this, then run the same command with --resume.",
    "room_or_no_events": "Make room there, or leave them out with --no-events.",
    "replace_whole": "Leave --update and --shard out, or load the shards into another --collection without --replace.",
    "remove_vanished": "Add --update to --remove-vanished, or leave both out.",
    "start_first_shard": "Start it, then this one again with --resume.",
    "load_anew": "Leave --resume out to load anew.",
    "update_unknown": "Leave --update out to send everything, or name the run folder of its loads with --run-dir.",
    "resume_unknown": "Leave --resume out to send everything, or name the run folder of its loads with --run-dir.",
    "no_update": "Leave --update out to send everything.",
    "fit_once": "Train it once with cohorts fit, and give its folder by --encoder.",
    "resume": "The same command with --resume goes on.",
    "export_again": "Run cohorts export again when nobody writes.",
    # Collections.
    "attach_anew": "To write all of them anew, map the collection again with cohorts attach --write, then ingest "
    "without --update.",
    "ids_of_one_type": "Let the owner make the ids of one type; --field {field} reads the others.",
    "reindex_or_replace": "Change it with cohorts reindex, or write it anew with --replace.",
    "index_fields_or_replace": "Leave --index-fields out to go on with these, or write the collection anew with "
    "--replace.",
    "no_index_fields": "Leave --index-fields out.",
    "reindex_again": "Run cohorts reindex again when nobody writes.",
    "another_name": "Write to --collection {collection}, or take a name that does not end in _v and a number.",
    "another_collection": "Name another --collection.",
    "own_collection": "Ingest into a --collection of cohorts' own.",
    "own_collection_or_points": "Ingest into a --collection of cohorts' own, or let the owner make a collection with "
    "one point for each patient.",
    "load_another_or_replace": "Load into another --collection, or replace this one whole with --replace.",
    "reindex_search": "cohorts reindex makes a new version with others (--index, --search).",
    "attach": "Look at it, and map it, with cohorts attach.",
    "attach_write": "Confirm the mapping with cohorts attach --write.",
    "vector": "Name one of them with --vector.",
    # Cohorts.
    "min_cell": "Take a larger group, or one that differs by more, or show small cells with --min-cell 1, which is for "
    "your own eyes.",
    "kept_or_source": "An ingest of the source, an update too, writes them anew; cohorts compare also reads the source "
    "itself, by --source and --path.",
    "source_of_records": "Name the source that has them with --source and --path.",
    "ingest_for_outcomes": "Ingest the source anew: cohorts ingest --source … --path … --collection {collection}_24h "
    "--unit admission --as-of admission+24h; or see it marked with --anyway.",
    "window_of_outcomes": "Ingest the source anew with --as-of admission+24h, or see outcomes marked with --anyway.",
    # Encoders.
    "notes_of_mimic4": "MIMIC-IV's are a data set of their own, which --notes names.",
    "own_encoder": "Use the collection's own encoder, or ingest into another --collection, or replace this one whole "
    "with cohorts ingest --replace.",
    "ingest_as_of": "cohorts ingest --as-of {window} makes one, in another --collection.",
    "fit_sepsis": "Train one with cohorts fit --encoder sepsis, and name its folder with --model.",
    "encoder_folder": "Name its folder with --encoder.",
    "no_download": "Leave --download out.",
    "download": "Fetch it by --download where there is a network, or copy its folder here and name that.",
    "resume_training": "Go on with --resume, or remove the folder.",
    "category_column": "Of notes-csv, name the column by --columns id=…,text=…,category=….",
    # Queries.
    "patient_of_source": "Name the one to ask about with --patient.",
    "query_patient": "Query by --patient.",
    "query_patient_or_lsa": "Query by --patient, or ingest notes with --encoder lsa.",
    "query_encoder": "Queries by text need --encoder {folder}.",
    "patient_or_encoder": "Query by --patient, or name the encoder's folder with --encoder.",
    "make_cohort": "Give exactly one of --where FILTER, --ids FILE and --phenotype NAME.",
    "refresh_anyway": "Ask by today's vectors with --anyway, or save another cohort.",
    "suggest": "Add --suggest to see the nearest ids there, which are other patients'.",
    # Evaluations.
    "smaller_k": "Give a smaller --k.",
    "another_out": "Take another --out, or remove it.",
    "labels": "Notes alone are judged by labels: --labels COLUMN.",
    "all_folds": "Take more patients, other cohorts, or all folds (--folds {folds}).",
    "labels_alone": "Leave out --labels, or leave out --cohort, --withhold-text and --leave-codes.",
    "store_of_index": "For --index, name one with --store, as in qdrant:./quality.",
    "another_label": "Choose another column with --labels, or a larger source.",
    "no_unfreeze": "Leave --unfreeze out, or this encoder.",
    "pca": "Or take --projection pca.",
    "fit_and_name": "Train it with cohorts fit, and name its folder with --encoder.",
    "download_or_name": "Fetch them by --download where there is a network, or name others with --encoder.",
    "measure_again": "Measure again with --force.",
    "measure_again_or_elsewhere": "Measure again with --force, or into another folder.",
    # Tuning.
    "rebuild": "--rebuild tries indexes.",
    "audit_search": "Try some with cohorts audit --search, as in ef_search=200.",
}


def told(error: BaseException | str) -> str:
    """Return what an error or a warning says, its remedy in options where it names a hint."""
    if isinstance(error, CohortsError | CohortsWarning) and error.hint:
        return f"{error.facts} {HINTS[error.hint].format(**error.values)}"
    return str(error)
