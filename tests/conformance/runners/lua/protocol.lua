return {run=function() return nil,"stub" end}
