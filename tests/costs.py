"""What tests cost, as marks: `server`, `torch`, `slow` and `fault`. `make quick` runs what has none of them."""

from collections.abc import Iterator

import pytest

_TORCH = {
    "torch",
    "transformers",
    "sentence_transformers",
    "checkpoints",
}  # the last makes tiny ones for tests
# More than some two seconds of a core: whole modules, whose shared fixtures are dear, and single tests.
_SLOW_MODULES = {
    "test_against_peers.py",
    "test_report.py",
    "test_combined_faults.py",
    "test_default.py",
    "test_fineehr_evaluation.py",
    "test_fineehr.py",
    "test_markers.py",
    "test_retrieval.py",
    "test_sepsis_evaluation.py",
    "test_site.py",
    "test_tutorials.py",
    "test_ray.py",
    "test_readme.py",
}
_SLOW = {
    "test_a_chunk_has_its_units_rows_and_no_others",
    "test_a_client_that_fails_ends_them_all_with_its_error",
    "test_a_collection_goes_from_engine_to_engine_and_back",
    "test_a_copy_that_died_goes_on",
    "test_a_file_is_read_as_the_strict_reader_alone_reads_it",
    "test_a_run_about_something_else_is_not_resumed",
    "test_a_run_that_ended_early_goes_on_and_shards_load_beside_each_other",
    "test_a_server_whose_reads_may_lag_has_figures_and_no_fault",
    "test_a_source_without_notes_is_told_of_its_codes",
    "test_a_store_that_another_process_holds_is_refused",
    "test_a_writer_that_can_not_keep_up_leaves_what_is_not_begun_in_time",
    "test_an_engine_that_goes_on_finding_what_was_deleted_is_stale",
    "test_an_engine_that_loses_what_it_acknowledged_has_less_recall",
    "test_an_ingest_keeps_and_tells_nothing_that_was_found",
    "test_an_update_sends_whom_a_changed_file_changed",
    "test_another_encoder_is_refused_by_fingerprint",
    "test_clients_ask_one_after_the_other_until_the_end",
    "test_commands_leave_nothing_that_others_may_read",
    "test_every_arrival_is_asked_once_at_its_time",
    "test_fingerprint_follows_content_and_unit",
    "test_memory_does_not_grow_with_the_number_of_patients",
    "test_no_withheld_code_reaches_the_features",
    "test_notes_marked_as_errors_are_left_out_and_counted",
    "test_parts_change_neither_rows_nor_counts",
    "test_real_codes_go_in_and_answer",
    "test_real_notes_go_in_and_answer",
    "test_rebuild_tries_indexes_on_the_side_and_names_the_command",
    "test_recall_by_filter_is_that_of_a_naive_computation",
    "test_rows_that_are_not_put_back_are_told",
    "test_same_source_same_bytes_whatever_the_hash_seed",
    "test_searches_and_writes_both_happen",
    "test_searches_under_writes_are_measured_and_shown",
    "test_several_batches_teach_what_one_does",
    "test_the_command_line_keeps_shards_and_erases_from_both",
    "test_the_commands_of_the_example_run",
    "test_the_corpus_on_disk_is_private_and_removed_even_on_failure",
    "test_the_example_runs_word_for_word_and_answers_as_the_command_line_does",
    "test_the_engine_reaches_what_the_reference_reaches",
    "test_the_journal_of_every_shard_forgets",
    "test_the_line_names_the_parameter_that_the_reference_ran_with",
    "test_too_many_bad_rows_stop_the_run",
    "test_tune_finds_the_least_that_reaches_as_a_full_sweep_does",
    "test_update_after_a_reindex_still_knows_what_is_there",
    "test_users_mypy_accepts_the_example_and_sees_mistakes",
    "test_update_sends_what_changed_and_removes_what_vanished_when_asked",
    "test_weights_depend_on_seed_and_corpus_and_not_on_the_hash_seed",
    "test_what_is_asked_for_decides_not_a_formula",
    "test_what_is_written_is_described_and_used",
    "test_wheel_holds_the_package_and_nothing_else",
    "test_words_of_real_notes_are_those_of_the_cleaned_text",
    "test_words_of_real_notes_are_those_of_the_steps",
    "test_without_deidentification_the_vocabulary_holds_them",
}


def marks_of(item: pytest.Item) -> Iterator[str]:
    """Yield the marks of a test, by its fixtures, its module's imports, its folder and its name."""
    if "server_folder" in getattr(item, "fixturenames", ()):
        yield "server"
    if _imports_torch(item):
        yield "torch"
    if item.path.parent.name == "faults":
        yield "fault"
    if item.path.name in _SLOW_MODULES or getattr(item, "originalname", item.name) in _SLOW:
        yield "slow"


def check_server_mark(request: pytest.FixtureRequest) -> None:
    """Fail a test that takes a server by name, which its fixtures don't show, and has no mark that says so."""
    if request.node.get_closest_marker("server") is None:
        pytest.fail("This test takes a server as it runs: give that case the mark server.")


def _imports_torch(item: pytest.Item) -> bool:
    values = vars(getattr(item, "module", None) or item).values()
    names = (str(getattr(value, "__module__", None) or getattr(value, "__name__", "")) for value in values)
    return any(name.partition(".")[0] in _TORCH for name in names)
