package agent

import "kata/agent/api"

func (a *agent) freeze(req *api.FreezeRequest) (*api.Empty, error) {
	c, err := a.container(req.ID)
	if err != nil {
		return nil, err
	}
	return &api.Empty{}, c.Freeze(req.Frozen)
}

func (a *agent) stats(req *api.ProcessRequest) (*api.StatsResponse, error) {
	c, err := a.container(req.ID)
	if err != nil {
		return nil, err
	}
	return c.Stats()
}

func (a *agent) update(req *api.UpdateRequest) (*api.Empty, error) {
	c, err := a.container(req.ID)
	if err != nil {
		return nil, err
	}
	return &api.Empty{}, c.Update(req)
}
