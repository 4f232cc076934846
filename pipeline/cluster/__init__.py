"""All that runs on Ray: training, bulk translation and serving [ray].

In: encoded corpora or pulled models. Out: trained models, translated chunks, a server that answers. Promises: what the
cluster cannot give is an error at once, and a run that lost its workers can be continued.

    connection             a cluster: the one that RAY_ADDRESS names, or one on this machine
    resources              how many workers and threads it can give

    training               the driver's side: starts the workers, collects the model
    training_worker        what a Ray worker does: reads its data, runs the loop, reports
    process_group          where its workers meet, and on which address they listen
    training_progress      the driver while the workers run: passes on their records, ends them, says what stopped them
    run_folder             checkpoints of unfinished trainings

    translation, serving   both sides of each: what starts the workers, and what a worker does

    ray_internals, ray_train_internals    what is used of Ray without its documentation's promise
"""
