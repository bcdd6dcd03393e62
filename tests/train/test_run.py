from rm.train import train
import json
def test_probe(config, tmp_path, dev_file, log):
    r = train(config(**{"data.dev":[str(dev_file)], "train.eval_every":2, "train.max_steps":6}))
    print(r)
    for l in log(tmp_path/"run"): print(l)
    import os
    os.system(f"find {tmp_path/'run'} -type f | sort")
    r = train(config(**{"data.dev":[str(dev_file)], "train.eval_every":2, "train.max_steps":6}), resume=True)
    print(r.steps)
    for l in log(tmp_path/"run"): print(l)
