module github.com/yagura/yagura/sdk/go

go 1.25
